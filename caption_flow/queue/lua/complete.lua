-- complete: finished samples leave a stage, once each, for another stage or for the sinks.
--
-- KEYS  1 samples:STAGE  2 samples:NEXT, or captions after the last stage  3 images  4 counts
--       5 failures  6 cursors
-- ARGV  1 group  2 worker  3 "last" for captions, "" for a stage
--       then for each sample: entry, prompt tokens, output tokens, number of outcomes, and that
--       often: stage, outcome (JSON)
--
-- True after it: each sample that was this worker's is in the next place with these outcomes added,
-- its entry here is gone with its failures, and after the last stage its image too. Answers a
-- list: 1 done, 0 lost.
-- XACK is the first write: a full server refuses scripts that begin with XADD, not this one.
local samples, target = KEYS[1], KEYS[2]
local last = ARGV[3] == 'last'
local bytes, prompt_tokens, output_tokens = 0, 0, 0
local moved, images = {}, {}

-- Ids are unique over the stages of a lane, since a worker tells its samples apart by them, and
-- stages come and go. So what moves is numbered, from 2^32 on: those that enter have few numbers.
local millis, first = 0, 0

local function begin_ids()
  first = 4294967296 - #ARGV + redis.call('HINCRBY', KEYS[6], 'moves', #ARGV)
  local now = redis.call('TIME')
  millis = tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)
  local told = redis.pcall('XINFO', 'STREAM', target)
  for i = 1, #told, 2 do
    if told[i] == 'last-generated-id' then
      -- The clock may have been put back.
      millis = math.max(millis, tonumber(string.match(told[i + 1], '%d+')))
    end
  end
end

local function next_id()
  if last then
    return '*'
  end
  -- Only now: a script that begins with HINCRBY is refused by a full server.
  if first == 0 then
    begin_ids()
  end
  first = first + 1
  return string.format('%.0f-%.0f', millis, first)
end

local function move(id, fields, at, outcomes)
  local image = id
  local size = 0
  local passed = {}
  for i = 1, #fields, 2 do
    if fields[i] == 'image' then
      image = fields[i + 1]
    elseif fields[i] == 'bytes' then
      size = tonumber(fields[i + 1]) or 0
    end
    if not last or (fields[i] ~= 'image' and fields[i] ~= 'bytes') then
      passed[#passed + 1] = fields[i]
      passed[#passed + 1] = fields[i + 1]
    end
  end
  if not last and image == id then
    passed[#passed + 1] = 'image'
    passed[#passed + 1] = id
  end
  for i = at, at + 2 * outcomes - 2, 2 do
    passed[#passed + 1] = 'out:' .. ARGV[i]
    passed[#passed + 1] = ARGV[i + 1]
  end
  redis.call('XADD', target, next_id(), unpack(passed))
  moved[#moved + 1] = id
  if last then
    images[#images + 1] = image
    bytes = bytes + size
  end
end

-- Calls `use` with all of a list. Lua's stack takes no more than some thousand at a time.
local function each(list, use)
  for first = 1, #list, 1000 do
    use(unpack(list, first, math.min(first + 999, #list)))
  end
end

local ids, at = {}, {}  -- what was told: entries, and where in ARGV
local i = 4
while i <= #ARGV do
  ids[#ids + 1], at[#at + 1] = ARGV[i], i
  i = i + 4 + 2 * tonumber(ARGV[i + 3])
end

local ours, is_ours = {}, {}
for _, id in ipairs(ids) do
  local held = redis.call('XPENDING', samples, ARGV[1], id, id, 1)[1]
  if held and held[2] == ARGV[2] and not is_ours[id] then
    ours[#ours + 1], is_ours[id] = id, true
  end
end
-- What this worker holds is acked, whatever else: nothing comes between the two.
each(ours, function(...) redis.call('XACK', samples, ARGV[1], ...) end)

local answers = {}
for number, id in ipairs(ids) do
  -- An entry that was deleted by hand may still have been pending; one told twice moves once.
  local entry = is_ours[id] and redis.call('XRANGE', samples, id, id)[1]
  is_ours[id] = nil
  if entry then
    local told = at[number]
    move(id, entry[2], told + 4, tonumber(ARGV[told + 3]))
    prompt_tokens = prompt_tokens + tonumber(ARGV[told + 1])
    output_tokens = output_tokens + tonumber(ARGV[told + 2])
  end
  answers[number] = entry and 1 or 0
end
each(moved, function(...) redis.call('XDEL', samples, ...) end)
each(moved, function(...) redis.call('HDEL', KEYS[5], ...) end)
each(images, function(...) redis.call('XDEL', KEYS[3], ...) end)

if #moved > 0 then
  redis.call('HINCRBY', KEYS[4], 'prompt_tokens', prompt_tokens)
  redis.call('HINCRBY', KEYS[4], 'output_tokens', output_tokens)
  if last then
    redis.call('HINCRBY', KEYS[4], 'completed', #moved)
    redis.call('HINCRBY', KEYS[4], 'bytes_in_flight', -bytes)
  end
end
return answers
