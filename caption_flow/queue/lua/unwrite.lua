-- unwrite: a rewriting of a part will not be done, since what was written for it is gone.
--
-- KEYS  1 rewrites
-- ARGV  1 part  2 token of the rewriting
--
-- True after it: that rewriting is not written down; the part is as it was before.
local told = redis.call('HGET', KEYS[1], ARGV[1])
if told and cjson.decode(told).token == ARGV[2] then
  redis.call('HDEL', KEYS[1], ARGV[1])
end
