-- remind: settings that Redis has forgotten come back, from a feeder that has seen them.
--
-- KEYS  1 settings  2 stages
-- ARGV  1 document (JSON)  2 data set the job is for  3 version that was seen  4 version to give it
--       5 who published it  6 host  7 document that the feeder was given
--       8.. names of the document's stages
--
-- True after it: the settings are no older than those that were seen. Where they came back, a
-- feeder that is started again takes none of them back, see `publish`.
local version = tonumber(redis.call('HGET', KEYS[1], 'version') or 0)
if version >= tonumber(ARGV[3]) then
  return
end
redis.call('HSET', KEYS[1], 'version', ARGV[4], 'document', ARGV[1], 'dataset', ARGV[2],
  'digest', redis.sha1hex(ARGV[1]), 'by', ARGV[5], 'fed:' .. ARGV[6], redis.sha1hex(ARGV[7]))
redis.call('SADD', KEYS[2], unpack(ARGV, 8))
