-- renew: leases that are still this consumer's begin anew.
--
-- KEYS  1 stream
-- ARGV  1 group  2 consumer  then entries
--
-- True after it: each entry held by the consumer has been idle for no time, and nobody else's
-- lease has changed. Answers the entries that were lost.
local held = {}
for _, row in ipairs(redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1000000000, ARGV[2])) do
  held[row[1]] = true
end
local ours, lost = {}, {}
for i = 3, #ARGV do
  local list = held[ARGV[i]] and ours or lost
  list[#list + 1] = ARGV[i]
end
-- Lua's stack takes no more than some thousand arguments at a time.
for first = 1, #ours, 1000 do
  local claim = { unpack(ours, first, math.min(first + 999, #ours)) }
  -- A renewal is no delivery, so it must not count as an attempt.
  claim[#claim + 1] = 'JUSTID'
  redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, unpack(claim))
end
return lost
