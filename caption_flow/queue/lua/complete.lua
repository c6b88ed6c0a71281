-- complete: finished samples leave a stage, once each, for the next stage or for the sinks.
--
-- KEYS  1 samples:STAGE  2 samples:NEXT, or captions after the last stage  3 images  4 counts
--       5 contributors  6 failures
-- ARGV  1 group  2 worker  3 number of the next stage, "" after the last  4 stage
--       5 contributor ("" for none)
--       then for each sample: entry, outcome (JSON), prompt tokens, output tokens
--
-- True after it: each sample that was this worker's is in the next place with this outcome added,
-- its entry here is gone with its failures, and after the last stage its image too. Answers a
-- list: 1 done, 0 lost.
-- XACK is the first write: a full server refuses scripts that begin with XADD, not this one.
local samples, target = KEYS[1], KEYS[2]
local last = ARGV[3] == ''
local answers = {}
local done, bytes, prompt_tokens, output_tokens = 0, 0, 0, 0

-- Ids are unique over the stages of a lane, since a worker tells its samples apart by them: the
-- sequence numbers of stage n begin at n * 2^32.
local millis, sequence = 0, 0
if not last then
  local first = tonumber(ARGV[3]) * 4294967296
  local now = redis.call('TIME')
  local told = redis.pcall('XINFO', 'STREAM', target)
  for i = 1, #told, 2 do
    if told[i] == 'last-generated-id' then
      local m, s = string.match(told[i + 1], '(%d+)-(%d+)')
      millis, sequence = tonumber(m), tonumber(s)
    end
  end
  local this = tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)
  if this > millis then
    millis, sequence = this, first
  end
  sequence = math.max(sequence, first)
end

local function next_id()
  if last then
    return '*'
  end
  sequence = sequence + 1
  return string.format('%.0f-%.0f', millis, sequence)
end

local function move(id, fields, outcome)
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
  passed[#passed + 1] = 'out:' .. ARGV[4]
  passed[#passed + 1] = outcome
  redis.call('XADD', target, next_id(), unpack(passed))
  redis.call('XDEL', samples, id)
  redis.call('HDEL', KEYS[6], id)
  if last then
    redis.call('XDEL', KEYS[3], image)
    bytes = bytes + size
  end
end

for i = 6, #ARGV, 4 do
  local id = ARGV[i]
  local held = redis.call('XPENDING', samples, ARGV[1], id, id, 1)[1]
  local ours = held and held[2] == ARGV[2] and redis.call('XACK', samples, ARGV[1], id) == 1
  -- An entry that was deleted by hand may still be pending.
  local entry = ours and redis.call('XRANGE', samples, id, id)[1]
  if entry then
    move(id, entry[2], ARGV[i + 1])
    done = done + 1
    prompt_tokens = prompt_tokens + tonumber(ARGV[i + 2])
    output_tokens = output_tokens + tonumber(ARGV[i + 3])
  end
  answers[#answers + 1] = entry and 1 or 0
end

if done > 0 then
  redis.call('HINCRBY', KEYS[4], 'prompt_tokens', prompt_tokens)
  redis.call('HINCRBY', KEYS[4], 'output_tokens', output_tokens)
  if last then
    redis.call('HINCRBY', KEYS[4], 'completed', done)
    redis.call('HINCRBY', KEYS[4], 'bytes_in_flight', -bytes)
  end
  if ARGV[5] ~= '' then
    redis.call('HINCRBY', KEYS[5], ARGV[5] .. ':samples', done)
    redis.call('HINCRBY', KEYS[5], ARGV[5] .. ':output_tokens', output_tokens)
  end
end
return answers
