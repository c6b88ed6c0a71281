"""Quality: answers in which a model declines, or says that it was shown nothing.

Only the beginning of a text counts: a caption may tell of a sign that says "I'm sorry". What
people say of themselves ("I can't stop") is no refusal either: it takes a verb of the model's
trade.
"""

import re
from typing import Final
from unicodedata import normalize

_HEAD = 300  # characters within which a refusal shows itself, if it is one
_AM = r"i(?: am|'m)"
_SORRY = (
    rf"(?:{_AM}(?: very| so| really| truly)? sorry|(?:very )?sorry|i(?: do)? apologi[sz]e"
    rf"|my apologies|unfortunately|regrettably|{_AM} afraid)"
    r"(?: for (?:the|any) (?:confusion|inconvenience|misunderstanding))?"
)
_AI = r"(?:ai|a\.i\.|artificial intelligence|(?:vision[ -])?language model)"
_CANNOT = (
    r"(?:can't|cannot|can not|couldn't|could not|won't|will not"
    r"|(?:am |'m )(?:unable|not able|not allowed|not permitted|not going) to)"
)
_TRADE = (
    r"(?:assist|help|provide|describe|identify|recogni[sz]e|analy[sz]e|view|see (?:the|any|an)\b"
    r"|look at|access|process|generate|create|produce|caption|comply|fulfil|complete|answer"
    r"|respond|engage|discuss|comment|determine|interpret|do that|tell you)"
)
_IMAGE = r"(?:image|picture|photo|photograph)"
_ENGLISH = (
    # I'm sorry, but I can't …
    rf"{_SORRY}[,.;:!]?(?: but)?(?: as an? [a-z -]{{1,40}},)? i ?(?:{_CANNOT}|do not|don't)\b",
    # I cannot assist with that. I'm unable to view images.
    rf"i ?{_CANNOT}(?: directly| currently| actually| really)? {_TRADE}",
    rf"{_AM} (?:currently )?(?:unable|not able) to ",
    r"i (?:must|have to) (?:respectfully )?(?:decline|refuse)\b",
    r"i (?:do not|don't) (?:actually |currently )?(?:have (?:the (?:ability|capability)|access)"
    rf"|see (?:any|an) {_IMAGE}|feel comfortable)\b",
    rf"{_AM} not comfortable [a-z]+ing\b",
    # As an AI language model, …
    rf"as an? (?:large |text-based |multimodal )?{_AI}"
    r"(?: (?:language )?(?:model|assistant|system))?(?:,| (?:i|developed|trained|created)\b)",
    rf"{_AM} (?:just |only )?an? (?:large |text-based )?{_AI}\b",
    # There is no image.
    rf"(?:{_SORRY},? (?:but )?)?(?:it (?:seems|looks like|appears)(?: that)? )?there(?: is|'s| was)"
    rf" no {_IMAGE} (?:attached|provided|uploaded|to describe|in your message)",
    rf"no {_IMAGE} (?:was|is|has been) (?:attached|provided|given|uploaded|shared)\b",
    r"it (?:seems|looks like|appears)(?: that| like)? you (?:have not|haven't|did not|didn't) ",
    r"(?:could you |can you )?please (?:provide|upload|share|attach|send)(?: me)?(?: with)? "
    rf"(?:the|an?|your) {_IMAGE}\b",
    r"(?:this|your) request (?:violates|goes against|is against)\b",
)
_OTHERS = (
    # German, French, Spanish, Portuguese, Italian
    r"(?:es )?tut mir (?:sehr )?leid,? (?:aber )?(?:ich|das) ?(?:kann|darf|bin)\b",
    r"(?:leider )?(?:kann|darf) ich (?:das|dieses|diese|dir|ihnen) [^.!?]{0,80}\bnicht\b",
    r"als (?:ki|künstliche intelligenz|sprachmodell)(?:,| (?:kann|darf|habe|bin) ich\b)",
    r"(?:je suis )?désolée?,? (?:mais )?je n(?:e |')",
    r"en tant (?:qu'ia|qu'intelligence artificielle|que modèle de langage)\b",
    r"(?:lo siento|disculpa|perdón)(?: mucho)?,? (?:pero )?no (?:puedo|me es posible)\b",
    r"(?:desculpe|desculpa|lamento|sinto muito),? (?:mas )?(?:eu )?não (?:posso|consigo)\b",
    r"como (?:una? |um |uma )?(?:ia|inteligencia artificial|inteligência artificial"
    r"|modelo de lenguaje|modelo de linguagem),",
    r"mi dispiace,? (?:ma )?non (?:posso|sono in grado)\b",
    r"in quanto (?:ia|intelligenza artificiale|modello linguistico)\b",
    # Russian, Chinese, Japanese, Korean
    r"(?:извините|простите|к сожалению),? (?:но )?я не (?:могу|имею)\b",
    r"как (?:ии|искусственный интеллект|языковая модель),",
    r"(?:很|非常)?(?:抱歉|对不起|對不起|不好意思)[,.。!]? ?(?:但是?)?我?(?:无法|無法|不能)",
    r"我(?:无法|無法|不能)(?:提供|描述|识别|協助|协助|帮助|查看|看到|回答)",
    r"作为(?:一个|一個|一名)?(?:ai|人工智能|语言模型)",
    r"(?:申し訳(?:ありません|ございません)|すみません|ごめんなさい)(?:が|けど|、|,)",
    r"(?:죄송합니다만|죄송하지만|죄송합니다[.,] )",
)
_REFUSAL: Final = re.compile("|".join(f"(?:{way})" for way in (*_ENGLISH, *_OTHERS)))
_MARKS = " \t\r\n#>-*_"  # of Markdown, before the first word
_PLAIN = str.maketrans({"’": "'", "ʼ": "'", "`": "'", "*": "", "_": ""})


def is_refusal(text: str) -> bool:
    """Tell whether a text begins as a refusal does."""
    head = normalize("NFKC", text.lstrip(_MARKS)[:_HEAD]).translate(_PLAIN)
    return _REFUSAL.match(" ".join(head.casefold().split())) is not None
