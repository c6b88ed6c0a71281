-- reload: other settings for a job, if they are still those that an operator has looked at.
--
-- KEYS  1 settings  2 stages
-- ARGV  1 document (JSON)  2 version that was looked at  3 who publishes
--       4.. names of the document's stages
--
-- True after it: the document is the job's, and its version the next one; or nothing has changed,
-- since another version came meanwhile, or the job is gone. A full server allows it.
-- Answers the version; 0 where nothing has changed.
local version = redis.call('HGET', KEYS[1], 'version')
if version ~= ARGV[2] then
  return 0
end
redis.call('HDEL', KEYS[1], 'by')  -- a full server refuses HSET, but not after another write
redis.call('HSET', KEYS[1], 'version', version + 1, 'document', ARGV[1],
  'digest', redis.sha1hex(ARGV[1]), 'by', ARGV[3])
redis.call('SADD', KEYS[2], unpack(ARGV, 4))
return version + 1
