-- offer: samples of a claimed chunk enter the first stage, once.
--
-- KEYS  1 chunks  2 cursors  3 samples:STAGE  4 images  5 dead  6 counts  7 shards
-- ARGV  1 group  2 feeder  3 chunk entry  4 chunk id
--       5 cursor the feeder believes in  6 cursor after these samples  7 samples in the chunk
--       8 byte budget  9 sample budget  10 shard of the chunk
--       then for each sample: sample (JSON), image, why it has none (JSON, "" when it has one)
-- WITH  shard
--
-- True after it: the cursor of the chunk is the number of its samples that were offered, and each
-- of them is one entry of the first stage with its image under the same id, or one dead letter.
-- A chunk offered to its end is gone. Nothing enters past a budget, but for what is alone: a
-- sample larger than the byte budget passes when there is no other. Its bytes are those of its
-- JSON and its image; they stand in its entry, for who takes them off the books.
-- Answers {status, cursor, bytes in flight, samples in flight}: "ok", "full", "moved" (the
-- cursor is elsewhere: go on from there) or "lost" (the chunk is not this feeder's).
local samples, images = KEYS[3], KEYS[4]

local function number(field)
  return tonumber(redis.call('HGET', KEYS[6], field) or 0)
end

local bytes = number('bytes_in_flight')
local in_flight = number('offered') - number('captioned') - number('dead')
local held = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1)[1]
if not held or held[2] ~= ARGV[2] then
  return { 'lost', 0, bytes, in_flight }
end
local cursor = tonumber(redis.call('HGET', KEYS[2], ARGV[4]) or 0)
if cursor ~= tonumber(ARGV[5]) then
  return { 'moved', cursor, bytes, in_flight }
end

-- The first millisecond after all that the stream of samples has seen.
local function after_samples()
  local told = redis.call('XINFO', 'STREAM', samples)
  for i = 1, #told, 2 do
    if told[i] == 'last-generated-id' then
      return string.format('%.0f-0', tonumber(string.match(told[i + 1], '%d+')) + 1)
    end
  end
end

-- `images` says the id, since XINFO would copy two of them. Where `samples` is ahead, as after its
-- stage was renamed, it refuses that id, and the image enters once more under one that it takes.
local function enter(sample, image)
  local id = redis.call('XADD', images, '*', 'image', image)
  local bytes = #sample + #image
  if redis.pcall('XADD', samples, id, 'sample', sample, 'bytes', bytes).err then
    redis.call('XDEL', images, id)
    id = redis.call('XADD', images, after_samples(), 'image', image)
    redis.call('XADD', samples, id, 'sample', sample, 'bytes', bytes)
  end
end

local added_bytes, added, dead = 0, 0, 0
for i = 11, #ARGV, 3 do
  if ARGV[i + 2] == '' then
    added_bytes = added_bytes + #ARGV[i] + #ARGV[i + 1]
    added = added + 1
  else
    dead = dead + 1
  end
end
local heavy = bytes > 0 and bytes + added_bytes > tonumber(ARGV[8])
local many = in_flight > 0 and in_flight + added > tonumber(ARGV[9])
if added > 0 and (heavy or many) then
  return { 'full', cursor, bytes, in_flight }
end

for i = 11, #ARGV, 3 do
  if ARGV[i + 2] == '' then
    enter(ARGV[i], ARGV[i + 1])
  else
    redis.call('XADD', KEYS[5], '*', 'sample', ARGV[i], 'why', ARGV[i + 2])
  end
end
if tonumber(ARGV[6]) >= tonumber(ARGV[7]) then
  redis.call('XACK', KEYS[1], ARGV[1], ARGV[3])
  redis.call('XDEL', KEYS[1], ARGV[3])
  redis.call('HDEL', KEYS[2], ARGV[4], ARGV[4] .. ':looks')
else
  redis.call('HSET', KEYS[2], ARGV[4], ARGV[6])
end
redis.call('HINCRBY', KEYS[6], 'offered', added + dead)
redis.call('HINCRBY', KEYS[6], 'bytes_in_flight', added_bytes)
if dead > 0 then
  redis.call('HINCRBY', KEYS[6], 'dead', dead)
  count_shard(KEYS[7], ARGV[10], 'dead', dead)
end
return { 'ok', tonumber(ARGV[6]), bytes + added_bytes, in_flight + added }
