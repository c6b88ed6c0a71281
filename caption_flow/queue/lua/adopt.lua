-- adopt: all leases of a consumer become those of another one of the same holder.
--
-- KEYS  1 stream
-- ARGV  1 group  2 consumer that held them  3 consumer that holds them from now on
--
-- True after it: the former consumer is gone and held nothing; what it held is the other one's,
-- each lease begun anew, its delivery not counted. Answers for each that the other one holds now:
-- entry, deliveries.
local function held_by(consumer)
  return redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1000000000, consumer)
end

local ids = {}
for i, row in ipairs(held_by(ARGV[2])) do
  ids[i] = row[1]
end
-- Lua's stack takes no more than some thousand arguments at a time.
for first = 1, #ids, 1000 do
  local claim = { unpack(ids, first, math.min(first + 999, #ids)) }
  claim[#claim + 1] = 'JUSTID'
  redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[3], 0, unpack(claim))
end
redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
local told = {}
for i, row in ipairs(held_by(ARGV[3])) do
  told[i] = { row[1], row[4] }
end
return told
