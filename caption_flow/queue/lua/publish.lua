-- publish: a feeder that starts brings the settings document it was given.
--
-- KEYS  1 settings  2 stages
-- ARGV  1 document (JSON)  2 data set the job is for  3 host  4 who publishes  5 least version
--       6.. names of the document's stages
--
-- True after it: a document that is new here is the job's. One that this host's feeders brought
-- last time too, or where they bring their first, any other's, is not, if the job has settings:
-- somebody may have changed those since, and a feeder that is started again takes nothing back.
-- Nothing has changed where the job is for another data set.
-- Answers {version, document, who published it}; {0, data set} of a job for another one.
local function is_fed(digest)
  local last = redis.call('HGET', KEYS[1], 'fed:' .. ARGV[3])
  if last then
    return last == digest
  end
  local fields = redis.call('HGETALL', KEYS[1])
  for i = 1, #fields, 2 do
    if string.sub(fields[i], 1, 4) == 'fed:' and fields[i + 1] == digest then
      return true
    end
  end
  return false
end

local version, document, dataset, by =
  unpack(redis.call('HMGET', KEYS[1], 'version', 'document', 'dataset', 'by'))
if dataset and dataset ~= ARGV[2] then
  return { 0, dataset }
end
local digest = redis.sha1hex(ARGV[1])
if not document or (document ~= ARGV[1] and not is_fed(digest)) then
  version, document, by = math.max((version or 0) + 1, tonumber(ARGV[5])), ARGV[1], ARGV[4]
  redis.call('HSET', KEYS[1], 'version', version, 'document', document, 'digest', digest,
    'dataset', ARGV[2], 'by', by)
  redis.call('SADD', KEYS[2], unpack(ARGV, 6))
end
redis.call('HSET', KEYS[1], 'fed:' .. ARGV[3], digest)
return { tonumber(version), document, by or '' }
