-- note: what the books say now is written down, now and then, for rates.
--
-- KEYS  1 counts  2 history
-- ARGV  1 seconds between two notes  2 notes that are kept  then the names of what is noted
--
-- True after it: the last note is not older than that, and there are no more notes than that,
-- oldest first, each a JSON list of the time in seconds since the epoch, and a number a name.
-- Answers the time, as TIME does.
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local last = redis.call('LINDEX', KEYS[2], -1)
local at = last and tonumber(string.match(last, '^%[([%d.]+)'))
if at and at <= now and now - at < tonumber(ARGV[1]) then
  return time
end
local note = { string.format('%.3f', now) }
for _, count in ipairs(redis.call('HMGET', KEYS[1], unpack(ARGV, 3))) do
  note[#note + 1] = count or '0'
end
redis.call('RPUSH', KEYS[2], '[' .. table.concat(note, ',') .. ']')
redis.call('LTRIM', KEYS[2], -tonumber(ARGV[2]), -1)
return time
