-- complete: finished samples leave a stage, once each, for the next stage or for the sinks.
--
-- KEYS  1 samples:STAGE  2 samples:NEXT, or captions after the last stage  3 images  4 counts
--       5 contributors
-- ARGV  1 group  2 worker  3 "1": this is the last stage  4 stage  5 contributor ("" for none)
--       then for each sample: entry, outcome (JSON), prompt tokens, output tokens
--
-- True after it: each sample that was this worker's is in the next place with this outcome added,
-- its entry here is gone, and after the last stage its image too. Answers a list: 1 done, 0 lost.
-- XACK is the first write: a full server refuses scripts that begin with XADD, not this one.
local samples, target = KEYS[1], KEYS[2]
local last = ARGV[3] == '1'
local answers = {}
local done, bytes, prompt_tokens, output_tokens = 0, 0, 0, 0

local function move(id, outcome)
  local fields = redis.call('XRANGE', samples, id, id)[1][2]
  local image = id
  local size = 0
  local passed = {}
  for i = 1, #fields, 2 do
    if fields[i] == 'image' then
      image = fields[i + 1]
    elseif fields[i] == 'bytes' then
      size = tonumber(fields[i + 1])
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
  redis.call('XADD', target, '*', 'out:' .. ARGV[4], outcome, unpack(passed))
  redis.call('XDEL', samples, id)
  if last then
    redis.call('XDEL', KEYS[3], image)
    bytes = bytes + size
  end
end

for i = 6, #ARGV, 4 do
  local id = ARGV[i]
  local held = redis.call('XPENDING', samples, ARGV[1], id, id, 1)[1]
  local ours = held and held[2] == ARGV[2] and redis.call('XACK', samples, ARGV[1], id) == 1
  if ours then
    move(id, ARGV[i + 1])
    done = done + 1
    prompt_tokens = prompt_tokens + tonumber(ARGV[i + 2])
    output_tokens = output_tokens + tonumber(ARGV[i + 3])
  end
  answers[#answers + 1] = ours and 1 or 0
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
