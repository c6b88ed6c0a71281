-- leave: a consumer that holds nothing is forgotten.
--
-- KEYS  1 stream
-- ARGV  1 group  2 consumer
--
-- True after it: the consumer is gone if it held nothing; XGROUP DELCONSUMER drops pending
-- entries with their holder, which would lose them. Answers 1 if it is gone.
local held = redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2])
if #held > 0 then
  return 0
end
redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
return 1
