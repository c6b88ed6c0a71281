-- agree: what holds for the whole job, by the first who proposes it.
--
-- KEYS  1 settings
-- ARGV  1 field  2 proposal
--
-- True after it: the field has a value, which nobody changes. Answers it. A full server allows it.
local agreed = redis.call('HGET', KEYS[1], ARGV[1])
if not agreed then
  redis.call('HDEL', KEYS[1], ARGV[1])  -- a full server refuses HSET, but not after another write
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
  agreed = ARGV[2]
end
return agreed
