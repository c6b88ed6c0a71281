-- edit_token: a token is added, changed or removed.
--
-- KEYS  1 tokens
-- ARGV  1 role and name  2 what is said of the token (JSON); empty: it is removed
--       3 SHA-256 of the token that must be there; empty: there must be none; "any"
--
-- True after it: the last word on this role and name is the given one, with a stamp later than
-- any before, and that stamp is the version of all; or, where another token was there than must
-- be, nothing has changed. A full server allows it.
-- Answers 1 or 0, and what was said before; empty: there was no such token.
local tokens = KEYS[1]
local before = string.match(redis.call('HGET', tokens, ARGV[1]) or '', '^%d+ (.+)$') or ''
local readable, said = pcall(cjson.decode, before)
local sha256 = readable and said.sha256 or ''
if ARGV[3] ~= 'any' and ARGV[3] ~= sha256 then
  return {0, before}
end
local time = redis.call('TIME')
local version = tonumber(redis.call('HGET', tokens, 'version') or 0)
local stamp = string.format('%.0f', math.max(time[1] * 1000000 + time[2], version + 1))
redis.call('HDEL', tokens, 'version')  -- a full server refuses HSET, but not after another write
redis.call('HSET', tokens, 'version', stamp, ARGV[1], stamp .. ' ' .. ARGV[2])
return {1, before}
