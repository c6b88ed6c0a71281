-- record: a published part that was forgotten is recorded again.
--
-- KEYS  1 parts  2 epoch  3 contributors
-- ARGV  1 part  2 record of it (JSON)  3 a new word for the epoch, see `epoch`
--
-- True after it: the part is recorded; if it was not before, what its record says that contributors
-- made is theirs, and another epoch has begun, so that no sink commits what may stand in this part
-- before it has looked. Answers 1 if it was not.

-- Adds what a record tells that was made.
local function credit(record)
  for name, made in pairs(cjson.decode(record).tally or {}) do
    for i, what in ipairs({ ':captions', ':prompt_tokens', ':output_tokens' }) do
      redis.call('HINCRBY', KEYS[3], name .. what, made[i])
    end
  end
end

local part = ARGV[1]
if redis.call('HEXISTS', KEYS[1], part) == 1 then
  return 0
end
redis.call('HSET', KEYS[1], part, ARGV[2])
credit(ARGV[2])
redis.call('SET', KEYS[2], ARGV[3])
return 1
