-- publish: the settings document of a job, with a version that rises when it changes.
--
-- KEYS  1 settings
-- ARGV  1 document (JSON)  2 data set the job is for
--
-- True after it: the document is the given one, unless the job is for another data set.
-- Answers {version, data set}.
local dataset = redis.call('HGET', KEYS[1], 'dataset')
if dataset and dataset ~= ARGV[2] then
  return { 0, dataset }
end
if redis.call('HGET', KEYS[1], 'document') ~= ARGV[1] then
  redis.call('HINCRBY', KEYS[1], 'version', 1)
  redis.call('HSET', KEYS[1], 'document', ARGV[1], 'dataset', ARGV[2])
end
return { tonumber(redis.call('HGET', KEYS[1], 'version')), ARGV[2] }
