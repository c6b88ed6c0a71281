-- reclaim: leases that ran out become this consumer's.
--
-- KEYS  1 stream
-- ARGV  1 group  2 consumer  3 lease, ms  4 cursor  5 most entries to take
--       6 "1": this consumer lives, so what it holds itself was not delivered once more
--
-- True after it: each entry answered was unrenewed for a whole lease and is this consumer's. Its
-- delivery is counted, unless it was this consumer's before and that lives. What is handed back
-- over and over hides nothing behind it: the next look begins at the cursor.
-- Answers {cursor, {{entry, fields, deliveries}, ...}}.
--
-- Not by XAUTOCLAIM, which looks each fresh lease up in the stream, at some twenty times the cost.
local START = '-'
local wanted = tonumber(ARGV[5])
local taken = {}

local function take(row)
  local entry, holder, deliveries = row[1], row[2], row[4]
  if holder ~= ARGV[2] or ARGV[6] ~= '1' then
    deliveries = deliveries + 1
  end
  local claimed = redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, entry,
    'RETRYCOUNT', deliveries)[1]
  if claimed then -- else somebody deleted it, and now nobody holds it
    taken[#taken + 1] = { entry, claimed[2], deliveries }
  end
end

local function look(cursor)
  local most = wanted - #taken
  local rows = redis.call('XPENDING', KEYS[1], ARGV[1], 'IDLE', ARGV[3], cursor, '+', most)
  for _, row in ipairs(rows) do
    take(row)
  end
  return #rows == most and '(' .. rows[most][1] or START
end

local cursor = look(ARGV[4])
if cursor == START and ARGV[4] ~= START and #taken < wanted then
  cursor = look(START)
end
return { cursor, taken }
