-- check: what its holder is about to complete is kept, for a trusted worker to do again.
--
-- KEYS  1 samples:STAGE  2 images  3 checks:OTHER, of the stage that is done again
--       4 checking:OTHER
-- ARGV  1 group  2 worker  3 entry  4 most bytes that may wait  5 most entries
--       6 contributor  7 what the stage made (JSON)
--       then what was made before it on the same visit: stage, outcome (JSON)
--
-- True after it: if the sample is this worker's, is not kept already, and there is room, one entry
-- more waits in `checks`: as the sample came to its stage, with a copy of its image. Answers 1 if
-- it does.
local samples, checks, checking = KEYS[1], KEYS[3], KEYS[4]
local id = ARGV[3]

local held = redis.call('XPENDING', samples, ARGV[1], id, id, 1)[1]
local entry = held and held[2] == ARGV[2] and redis.call('XRANGE', samples, id, id)[1]
if not entry then
  return 0
end
local waiting = redis.call('XLEN', checks)
if waiting == 0 then
  -- So that what was deleted by hand takes no room for ever.
  redis.call('DEL', checking)
end
if waiting >= tonumber(ARGV[5]) or redis.call('HEXISTS', checking, id) == 1 then
  return 0
end

local image = id
local kept = {}
for i = 1, #entry[2], 2 do
  local name, value = entry[2][i], entry[2][i + 1]
  if name == 'image' then
    image = value
  elseif name ~= 'bytes' then
    kept[#kept + 1] = name
    kept[#kept + 1] = value
  end
end
for i = 8, #ARGV, 2 do
  kept[#kept + 1] = 'out:' .. ARGV[i]
  kept[#kept + 1] = ARGV[i + 1]
end
local found = redis.call('XRANGE', KEYS[2], image, image)[1]
local pixels = found and found[2][2] or ''
local bytes = #pixels
for _, piece in ipairs(kept) do
  bytes = bytes + #piece
end
if tonumber(redis.call('HGET', checking, 'bytes') or 0) + bytes > tonumber(ARGV[4]) then
  return 0
end
redis.call('XADD', checks, '*', 'of', id, 'by', ARGV[6], 'made', ARGV[7], 'bytes', bytes,
  'pixels', pixels, unpack(kept))
redis.call('HSET', checking, id, bytes)
redis.call('HINCRBY', checking, 'bytes', bytes)
return 1
