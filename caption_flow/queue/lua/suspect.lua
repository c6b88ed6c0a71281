-- suspect: why a sample will have failed, should its holder never be heard of again.
--
-- KEYS  1 samples:STAGE  2 failures
-- ARGV  1 group  2 worker  3 entry  4 why (JSON)
--
-- True after it: if the entry is this worker's, its lease began anew and `failures` holds one more
-- reason for it, unless there are so many that a stranger may have filled them; else nothing has
-- changed. Answers 1 if the entry is this worker's.
-- XCLAIM is the first write: a full server refuses scripts that begin with HSET, not this one.
local MOST = 65536  -- bytes, from which on nothing is added
local held = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1)[1]
if not held or held[2] ~= ARGV[2] then
  return 0
end
redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[3], 'JUSTID')
local earlier = redis.call('HGET', KEYS[2], ARGV[3])
if not earlier or #earlier < MOST then
  redis.call('HSET', KEYS[2], ARGV[3], earlier and earlier .. ',' .. ARGV[4] or ARGV[4])
end
return 1
