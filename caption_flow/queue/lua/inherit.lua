-- inherit: what a consumer was lent is in another one's hands.
--
-- KEYS  1 probes:FORMER  2 probes:CONSUMER
-- ARGV  1 lease, ms
--
-- True after it: the former consumer has nothing, the other one what it had, for a lease anew.
-- Answers all that the other one has now: entry, what is known of it (JSON).
local told = redis.call('HGETALL', KEYS[1])
redis.call('DEL', KEYS[1])
for i = 1, #told, 2 do
  redis.call('HSET', KEYS[2], told[i], told[i + 1])
end
redis.call('PEXPIRE', KEYS[2], ARGV[1])
return redis.call('HGETALL', KEYS[2])
