-- release: leases go back, for anybody to claim at once.
--
-- KEYS  1 stream
-- ARGV  1 group  2 consumer  3 who holds what was returned  4 idle time to give it, ms
--       5 "1": the delivery counts as an attempt  then entries
--
-- True after it: each entry that was this consumer's is past any lease. Unless told otherwise its
-- delivery count is one less, so that a clean stop costs no attempt. Answers how many went back.
local returned = 0
for i = 6, #ARGV do
  local held = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1)[1]
  if held and held[2] == ARGV[2] then
    local count = held[4]
    if ARGV[5] ~= '1' then
      count = math.max(count - 1, 0)
    end
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[3], 0, ARGV[i],
      'IDLE', ARGV[4], 'RETRYCOUNT', count, 'JUSTID')
    returned = returned + 1
  end
end
return returned
