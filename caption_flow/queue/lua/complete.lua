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
local answers = {}
local done, bytes, prompt_tokens, output_tokens = 0, 0, 0, 0

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
  redis.call('XDEL', samples, id)
  redis.call('HDEL', KEYS[5], id)
  if last then
    redis.call('XDEL', KEYS[3], image)
    bytes = bytes + size
  end
end

local i = 4
while i <= #ARGV do
  local id, outcomes = ARGV[i], tonumber(ARGV[i + 3])
  local held = redis.call('XPENDING', samples, ARGV[1], id, id, 1)[1]
  local ours = held and held[2] == ARGV[2] and redis.call('XACK', samples, ARGV[1], id) == 1
  -- An entry that was deleted by hand may still be pending.
  local entry = ours and redis.call('XRANGE', samples, id, id)[1]
  if entry then
    move(id, entry[2], i + 4, outcomes)
    done = done + 1
    prompt_tokens = prompt_tokens + tonumber(ARGV[i + 1])
    output_tokens = output_tokens + tonumber(ARGV[i + 2])
  end
  answers[#answers + 1] = entry and 1 or 0
  i = i + 4 + 2 * outcomes
end

if done > 0 then
  redis.call('HINCRBY', KEYS[4], 'prompt_tokens', prompt_tokens)
  redis.call('HINCRBY', KEYS[4], 'output_tokens', output_tokens)
  if last then
    redis.call('HINCRBY', KEYS[4], 'completed', done)
    redis.call('HINCRBY', KEYS[4], 'bytes_in_flight', -bytes)
  end
end
return answers
