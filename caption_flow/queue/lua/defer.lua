-- defer: samples that failed go back, each with its reason, to be tried again after a while.
--
-- KEYS  1 samples:STAGE  2 failures
-- ARGV  1 group  2 worker  3 who holds what was returned
--       then for each sample: entry, idle time to give it (ms), "1": the delivery counts as an
--       attempt, why (JSON)
--
-- True after it: each entry that was this worker's is anybody's once it was idle for a lease, and
-- `failures` holds one more reason for it, unless it was no attempt and the same reason stands
-- there among so many that more would tell nobody more. Answers how many went back.
local MOST = 4096  -- bytes, from which on such a reason is not said again

local function told(earlier, why)
  local reason = cjson.encode(cjson.decode(why).reason)
  return #earlier > MOST and string.find(earlier, '"reason":' .. reason, 1, true) ~= nil
end

local deferred = 0
for i = 4, #ARGV, 4 do
  local id = ARGV[i]
  local held = redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1)[1]
  if held and held[2] == ARGV[2] then
    local count = held[4]
    if ARGV[i + 2] ~= '1' then
      count = math.max(count - 1, 0)
    end
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[3], 0, id,
      'IDLE', ARGV[i + 1], 'RETRYCOUNT', count, 'JUSTID')
    local earlier = redis.call('HGET', KEYS[2], id)
    if not (earlier and ARGV[i + 2] ~= '1' and told(earlier, ARGV[i + 3])) then
      redis.call('HSET', KEYS[2], id, earlier and earlier .. ',' .. ARGV[i + 3] or ARGV[i + 3])
    end
    deferred = deferred + 1
  end
end
return deferred
