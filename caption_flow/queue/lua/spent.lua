-- spent: workers of a contributor were connected for a while with work in hand.
--
-- KEYS  1 contributors
-- ARGV  1 contributor  2 seconds  3 "1": it wants not to be named
--
-- True after it: the seconds are added, the contributor was seen now, and is named or not as said.
local contributors = KEYS[1]
local name = ARGV[1]
local now = redis.call('TIME')[1]
redis.call('HINCRBYFLOAT', contributors, name .. ':seconds', ARGV[2])
redis.call('HSETNX', contributors, name .. ':first_seen', now)
redis.call('HSET', contributors, name .. ':last_seen', now, name .. ':anonymous', ARGV[3])
