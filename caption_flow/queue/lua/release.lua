-- release: leases go back, for anybody to claim at once.
--
-- KEYS  1 stream
-- ARGV  1 group  2 consumer  3 who holds what was returned  4 idle time to give it, ms
--       then entries
--
-- True after it: each entry that was this consumer's is past any lease, and its delivery count
-- is one less, so that a clean stop costs no attempt. Answers how many went back.
local returned = 0
for i = 5, #ARGV do
  local held = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1)[1]
  if held and held[2] == ARGV[2] then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[3], 0, ARGV[i],
      'IDLE', ARGV[4], 'RETRYCOUNT', math.max(held[4] - 1, 0), 'JUSTID')
    returned = returned + 1
  end
end
return returned
