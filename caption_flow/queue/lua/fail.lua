-- fail: samples that cannot be captioned become dead letters, once each.
--
-- KEYS  1 samples:STAGE  2 dead  3 images  4 counts  5 failures  6 contributors  7 shards
-- ARGV  1 group  2 worker  3 contributor ("" for none)  then for each sample: entry, why (JSON)
-- WITH  shard
--
-- True after it: each sample that was this worker's is one dead letter with all its fields, the
-- reason, and those of its earlier attempts; its entry and its image are gone (the source still
-- has the image). It counts as a failure of the contributor, and as dead for its shard.
-- Answers a list: 1 done, 0 lost. XACK is the first write, as in `complete`.
local answers = {}
local done, bytes = 0, 0
for i = 4, #ARGV, 2 do
  local id = ARGV[i]
  local held = redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1)[1]
  local ours = held and held[2] == ARGV[2] and redis.call('XACK', KEYS[1], ARGV[1], id) == 1
  -- An entry that was deleted by hand may still be pending.
  local entry = ours and redis.call('XRANGE', KEYS[1], id, id)[1]
  if entry then
    local fields = entry[2]
    local image = id
    for f = 1, #fields, 2 do
      if fields[f] == 'image' then
        image = fields[f + 1]
      elseif fields[f] == 'bytes' then
        bytes = bytes + (tonumber(fields[f + 1]) or 0)
      end
    end
    local earlier = redis.call('HGET', KEYS[5], id)
    if earlier then
      fields[#fields + 1] = 'earlier'
      fields[#fields + 1] = '[' .. earlier .. ']'
    end
    redis.call('XADD', KEYS[2], '*', 'why', ARGV[i + 1], unpack(fields))
    count_shard(KEYS[7], shard_of(fields), 'dead', 1)
    redis.call('HDEL', KEYS[5], id)
    redis.call('XDEL', KEYS[1], id)
    redis.call('XDEL', KEYS[3], image)
    done = done + 1
  end
  answers[#answers + 1] = entry and 1 or 0
end
if done > 0 then
  redis.call('HINCRBY', KEYS[4], 'dead', done)
  redis.call('HINCRBY', KEYS[4], 'bytes_in_flight', -bytes)
  if ARGV[3] ~= '' then
    redis.call('HINCRBY', KEYS[6], ARGV[3] .. ':failures', done)
  end
end
return answers
