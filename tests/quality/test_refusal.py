"""What counts as a refusal, and what only looks like one."""

import pytest

from caption_flow.quality.refusal import is_refusal

REFUSALS = [
    "I'm sorry, but I can't assist with that request.",
    "I’m sorry, but I can’t help with identifying people in images.",
    "I'm sorry, I cannot provide a description of this image.",
    "I am sorry, but I am unable to view images.",
    "Sorry, but I can't describe this image.",
    "I apologize, but I cannot identify the person.",
    "I apologize for the confusion, but I am not able to see the image.",
    "Unfortunately, I cannot see the image you are referring to.",
    "I'm afraid I can't do that.",
    "  **I'm sorry**, but I can't.\n",
    "I can't assist with that.",
    "I cannot comply with this request.",
    "I can't see the image.",
    "I'm unable to process this picture.",
    "I am not able to identify real people.",
    "I won't describe that.",
    "I'm not able to help with that.",
    "I must decline to caption this.",
    "I don't have the ability to view images.",
    "I do not have access to the photo.",
    "I don't see any image attached.",
    "As an AI language model, I cannot see images.",
    "As an AI, I do not have eyes.",
    "As a language model, I can only read text.",
    "As an AI developed by a company, I have no eyes.",
    "I'm just an AI, so I cannot see.",
    "I am an AI assistant.",
    "There is no image attached to your message.",
    "I'm sorry, but there is no image provided.",
    "It seems you haven't uploaded an image.",
    "It looks like there is no image attached.",
    "No image was provided.",
    "Please provide the image you want described.",
    "Could you please upload an image?",
    "This request goes against my guidelines.",
    "Es tut mir leid, aber ich kann dabei nicht helfen.",
    "Als KI kann ich keine Bilder sehen.",
    "Je suis désolé, mais je ne peux pas vous aider.",
    "Lo siento, pero no puedo ayudar con eso.",
    "Desculpe, mas não posso ajudar.",
    "Mi dispiace, ma non posso aiutarti.",
    "Извините, но я не могу помочь.",
    "抱歉，我无法描述这张图片。",
    "对不起,我不能帮助你。",
    "申し訳ありませんが、お手伝いできません。",
    "죄송하지만 도와드릴 수 없습니다.",
]
CAPTIONS = [
    "A sign that says I'm sorry.",
    "A sign that says \"I'm sorry, but I can't stay\".",
    "\"I'm sorry, but I can't\" is written on a card.",
    "I'm sorry, said the fox in the comic strip.",
    "Sorry board game on a wooden table.",
    "Sorry, we're closed sign in a shop window.",
    "I can't breathe, says a protest sign.",
    "I can't believe it's not butter, a tub of spread.",
    "I won't give up, a mural in Berlin.",
    "I can't see it coming: a cat behind a curtain.",
    "As an artist paints, a crowd looks on.",
    "As an AI generated image, it shows a castle in the clouds.",
    "As an ai poster on a wall.",
    "As a language school, the building has signs in five languages.",
    "I am an American flag hanging from a pole.",
    "Unfortunately parked car with a clamp on its wheel.",
    "Unfortunately, the cake has fallen on the floor.",
    "There is no picture on the wall, only a nail.",
    "No image of the king was provided by the museum, says the label.",
    "No parking sign.",
    "Please provide your own cup, says a note on a coffee machine.",
    "It seems to be early in the morning.",
    "Als Kind steht er vor dem Haus.",
    "Como una mariposa, la bailarina extiende los brazos.",
    "我的猫在沙发上。",
    "すみません",
    "A man apologizes to a woman at a table.",
    "",
    "I",
]


@pytest.mark.parametrize("text", REFUSALS)
def test_refusal_is_told(text: str):
    assert is_refusal(text)


@pytest.mark.parametrize("text", CAPTIONS)
def test_caption_is_none(text: str):
    assert not is_refusal(text)
