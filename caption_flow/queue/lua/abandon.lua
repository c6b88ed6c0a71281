-- abandon: all that a consumer still holds goes back, for anybody to claim at once.
--
-- KEYS  1 stream
-- ARGV  1 group  2 consumer  3 who holds what was returned  4 idle time to give it, ms
--       5 "1": these deliveries were no attempts; "0": nobody knows what became of them
--
-- True after it: the consumer is gone and held nothing; what it held is past any lease. Answers
-- how many that were.
local held = redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1000000000, ARGV[2])
for _, row in ipairs(held) do
  redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[3], 0, row[1], 'IDLE', ARGV[4],
    'RETRYCOUNT', math.max(row[4] - tonumber(ARGV[5]), 0), 'JUSTID')
end
redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
return #held
