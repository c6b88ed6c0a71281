-- renew: leases that are still this consumer's begin anew.
--
-- KEYS  1 stream
-- ARGV  1 group  2 consumer  then entries
--
-- True after it: each entry held by the consumer has been idle for no time, and nobody else's
-- lease has changed. Answers the entries that were lost.
-- JUSTID: a renewal is no delivery, so it must not count as an attempt.
local lost = {}
for i = 3, #ARGV do
  local held = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1)[1]
  if held and held[2] == ARGV[2] then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'JUSTID')
  else
    lost[#lost + 1] = ARGV[i]
  end
end
return lost
