-- group: a group that reads a stream from its first entry on.
--
-- KEYS  1 stream
-- ARGV  1 group
--
-- True after it: stream and group are there. What they were before is as it was. A full server
-- allows it, so that what fills it can leave.

-- It deletes nothing. A server without memory refuses XGROUP CREATE, but not after another write.
redis.call('XDEL', KEYS[1], '0-1')
-- From 0: a group made at $ misses what was there before.
local made = redis.pcall('XGROUP', 'CREATE', KEYS[1], ARGV[1], '0', 'MKSTREAM')
if made.err and not string.find(made.err, '^-?BUSYGROUP') then
  return made
end
