-- reclaim: leases that ran out become this consumer's, following the cursor of XAUTOCLAIM.
--
-- KEYS  1 stream
-- ARGV  1 group  2 consumer  3 lease, ms  4 cursor  5 most entries to take  6 most steps
--
-- True after it: each entry answered was unrenewed for a whole lease and is this consumer's, its
-- delivery counted. Fresh leases in front hide none: the next look goes on at the cursor.
-- Answers {cursor, {{entry, fields, deliveries}, ...}}.
local cursor, wanted = ARGV[4], tonumber(ARGV[5])
local taken = {}
for _ = 1, tonumber(ARGV[6]) do
  local claimed = redis.call('XAUTOCLAIM', KEYS[1], ARGV[1], ARGV[2], ARGV[3], cursor,
    'COUNT', wanted - #taken)
  cursor = claimed[1]
  for _, entry in ipairs(claimed[2]) do
    local held = redis.call('XPENDING', KEYS[1], ARGV[1], entry[1], entry[1], 1)[1]
    taken[#taken + 1] = { entry[1], entry[2], held[4] }
  end
  if cursor == '0-0' or #taken >= wanted then
    break
  end
end
return { cursor, taken }
