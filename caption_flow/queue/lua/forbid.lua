-- forbid: a part whose writer is gone is recorded, or never will be.
--
-- KEYS  1 parts  2 forbidden
-- ARGV  1 part  2 seconds for which a commit of it may still be on its way
--
-- True after it: the part is recorded, or `commit` refuses it, so that its file may be deleted.
-- Answers 1 when it is forbidden, 0 when it is recorded.
local part = ARGV[1]
if redis.call('HEXISTS', KEYS[1], part) == 1 then
  return 0
end
redis.call('SADD', KEYS[2], part)
redis.call('EXPIRE', KEYS[2], ARGV[2])
return 1
