-- commit: the rows of a prepared part become part of the data set, once.
--
-- KEYS  1 captions  2 parts  3 counts
-- ARGV  1 group  2 sink  3 part ("" when the rows are in a part already)  4 record of it (JSON)
--       then entries
--
-- True after it: the part is recorded, its entries are gone and counted as captioned. If one of
-- them is not this sink's any more nothing has changed. Answers the entries that were lost; none
-- for a part that is recorded already, so that a commit may be repeated when its answer got lost.
if ARGV[3] ~= '' and redis.call('HEXISTS', KEYS[2], ARGV[3]) == 1 then
  return {}
end
local lost = {}
for i = 5, #ARGV do
  local held = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1)[1]
  if not held or held[2] ~= ARGV[2] then
    lost[#lost + 1] = ARGV[i]
  end
end
if #lost > 0 then
  return lost
end
-- Lua's stack takes no more than some thousand arguments at a time.
for first = 5, #ARGV, 1000 do
  local final = math.min(first + 999, #ARGV)
  redis.call('XACK', KEYS[1], ARGV[1], unpack(ARGV, first, final))
  redis.call('XDEL', KEYS[1], unpack(ARGV, first, final))
end
if ARGV[3] ~= '' then
  redis.call('HSET', KEYS[2], ARGV[3], ARGV[4])
end
redis.call('HINCRBY', KEYS[3], 'captioned', #ARGV - 4)
return {}
