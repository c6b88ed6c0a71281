-- recall: samples on their way are given up for what was made of them, whoever holds them.
--
-- KEYS  1 samples:STAGE, or captions  2 dead  3 images  4 counts  5 failures  6 shards
-- ARGV  1 group  2 "captions", or "" for a stage  then for each sample: entry, why (JSON)
-- WITH  shard
--
-- True after it: each of these entries that was there is one dead letter with all its fields, and
-- is gone with its lease and its image; whoever held it can do no more. Answers how many.
-- XACK is the first write, as in `complete`.
local answer, bytes = 0, 0
for i = 3, #ARGV, 2 do
  local id = ARGV[i]
  local entry = redis.call('XRANGE', KEYS[1], id, id)[1]
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
    redis.call('XACK', KEYS[1], ARGV[1], id)
    redis.call('XDEL', KEYS[1], id)
    redis.call('XADD', KEYS[2], '*', 'why', ARGV[i + 1], unpack(fields))
    count_shard(KEYS[6], shard_of(fields), 'dead', 1)
    redis.call('HDEL', KEYS[5], id)
    if ARGV[2] == '' then
      redis.call('XDEL', KEYS[3], image)
    end
    answer = answer + 1
  end
end
if answer == 0 then
  return 0
end
redis.call('HINCRBY', KEYS[4], 'dead', answer)
if ARGV[2] == 'captions' then
  redis.call('HINCRBY', KEYS[4], 'completed', -answer)
else
  redis.call('HINCRBY', KEYS[4], 'bytes_in_flight', 0 - bytes)  -- -0 is no number for Redis
end
return answer
