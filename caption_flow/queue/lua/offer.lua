-- offer: samples of a claimed chunk enter the first stage, once.
--
-- Their images stand at the end of `images` already: they were added in the same transaction, just
-- before, since a script would hash every byte of them.
--
-- KEYS  1 chunks  2 cursors  3 samples:STAGE  4 images  5 dead  6 counts  7 shards
-- ARGV  1 group  2 feeder  3 chunk entry  4 chunk id
--       5 cursor the feeder believes in  6 cursor after these samples  7 samples in the chunk
--       8 byte budget  9 sample budget  10 shard of the chunk
--       11 milliseconds of the ids of images
--       then for each sample: sample (JSON), bytes it takes up, why it has no image (JSON, "" when
--       it has one)
-- WITH  shard
--
-- True after it: the cursor of the chunk is the number of its samples that were offered, and each
-- of them is one entry of the first stage that names its image, or one dead letter. A chunk offered
-- to its end is gone. Nothing enters past a budget, but for what is alone: a sample larger than the
-- byte budget passes when there is no other. Its bytes stand in its entry, for who takes them off
-- the books. Where nothing enters, the images are gone again. No id of an image is given twice.
-- Answers {status, cursor, bytes in flight, samples in flight}: "ok", "full", "moved" (the
-- cursor is elsewhere: go on from there), "lost" (the chunk is not this feeder's) or "again" (the
-- stream of images had been deleted, and counts on from where it was now).
local FIRST = 12
local samples, images = KEYS[3], KEYS[4]

local added_bytes, added, dead = 0, 0, 0
for i = FIRST, #ARGV, 3 do
  if ARGV[i + 2] == '' then
    added_bytes = added_bytes + tonumber(ARGV[i + 1])
    added = added + 1
  else
    dead = dead + 1
  end
end

-- Ids of images have one number of milliseconds for ever and are counted, so that an empty image
-- after ours tells their ids: to read them, XINFO or XREVRANGE would copy what they hold.
local function last_image()
  local id = redis.call('XADD', images, ARGV[11] .. '-*', 'image', '')
  redis.call('XDEL', images, id)
  return tonumber(string.match(id, '%d+$')) - 1
end

local last = added > 0 and last_image() or 0

local function image_id(number)
  return string.format('%s-%.0f', ARGV[11], number)
end

local function take_back()
  for number = last - added + 1, last do
    redis.call('XDEL', images, image_id(number))
  end
  if last + 1 == added and redis.call('XLEN', images) == 0 then
    redis.call('DEL', images)  -- it was not there before
  end
end

local function number(field)
  return tonumber(redis.call('HGET', KEYS[6], field) or 0)
end

-- Samples that are older than a deletion of the stream must not find images that are newer.
local counted = tonumber(redis.call('HGET', KEYS[2], 'images') or -1)
if added > 0 and last - added < counted then
  take_back()
  local ahead = image_id(counted + added + 1)
  redis.call('XADD', images, ahead, 'image', '')
  redis.call('XDEL', images, ahead)
  return { 'again', 0, 0, 0 }
end

local bytes = number('bytes_in_flight')
local in_flight = number('offered') - number('captioned') - number('dead')
local held = redis.pcall('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1)
if held.err then
  take_back()
  return held
end
if not held[1] or held[1][2] ~= ARGV[2] then
  take_back()
  return { 'lost', 0, bytes, in_flight }
end
local cursor = tonumber(redis.call('HGET', KEYS[2], ARGV[4]) or 0)
if cursor ~= tonumber(ARGV[5]) then
  take_back()
  return { 'moved', cursor, bytes, in_flight }
end
local heavy = bytes > 0 and bytes + added_bytes > tonumber(ARGV[8])
local many = in_flight > 0 and in_flight + added > tonumber(ARGV[9])
if added > 0 and (heavy or many) then
  take_back()
  return { 'full', cursor, bytes, in_flight }
end

-- The first millisecond after all that the stream of samples has seen.
local function after_samples()
  local told = redis.call('XINFO', 'STREAM', samples)
  for i = 1, #told, 2 do
    if told[i] == 'last-generated-id' then
      return string.format('%.0f', tonumber(string.match(told[i + 1], '%d+')) + 1)
    end
  end
end

-- The id ends with the number of the image: ids are unique over the stages of a lane, since a
-- worker tells its samples apart by them, and stages come and go.
local now = redis.call('TIME')
local millis = string.format('%.0f', tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000))

local function enter(sample, bytes, image)
  local fields = { 'sample', sample, 'bytes', bytes, 'image', image_id(image) }
  if redis.pcall('XADD', samples, string.format('%s-%.0f', millis, image), unpack(fields)).err then
    -- It is ahead, as where the clock was put back.
    millis = after_samples()
    redis.call('XADD', samples, string.format('%s-%.0f', millis, image), unpack(fields))
  end
end

local image = last - added
for i = FIRST, #ARGV, 3 do
  if ARGV[i + 2] == '' then
    image = image + 1
    enter(ARGV[i], ARGV[i + 1], image)
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
if added > 0 then
  redis.call('HSET', KEYS[2], 'images', string.format('%.0f', last))
end
redis.call('HINCRBY', KEYS[6], 'offered', added + dead)
redis.call('HINCRBY', KEYS[6], 'bytes_in_flight', added_bytes)
if dead > 0 then
  redis.call('HINCRBY', KEYS[6], 'dead', dead)
  count_shard(KEYS[7], ARGV[10], 'dead', dead)
end
return { 'ok', tonumber(ARGV[6]), bytes + added_bytes, in_flight + added }
