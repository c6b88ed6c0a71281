-- forget: a part that is gone is recorded no more, once, whoever else finds it gone.
--
-- KEYS  1 parts  2 counts
-- ARGV  1 part  2 rows of it that are in no other part
--
-- True after it: the part is not recorded; and if it was, so many samples count as if they had
-- never been planned, since feeding them again counts them anew.
local part, rows = ARGV[1], tonumber(ARGV[2])
if redis.call('HDEL', KEYS[1], part) == 1 and rows > 0 then
  for _, field in ipairs({ 'planned', 'offered', 'completed', 'captioned' }) do
    redis.call('HINCRBY', KEYS[2], field, -rows)
  end
end
