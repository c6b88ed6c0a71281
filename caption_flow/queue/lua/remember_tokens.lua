-- remember_tokens: what Redis has forgotten of tokens comes back, from a proxy that has seen it.
--
-- KEYS  1 tokens
-- ARGV  1.. role and name, and what was said last (stamp and JSON), by turns
--
-- True after it: what is said of each is what was said last, here or there; so nobody comes back
-- who was removed meanwhile. Where anything came back the version is another, later than all.
-- A full server allows it.
-- Answers how much that was.
local tokens = KEYS[1]
local stale = {}
local latest = tonumber(redis.call('HGET', tokens, 'version') or 0)
for n = 1, #ARGV, 2 do
  local theirs = tonumber(string.match(ARGV[n + 1], '^%d+'))
  local ours = tonumber(string.match(redis.call('HGET', tokens, ARGV[n]) or '', '^%d+') or 0)
  if theirs > ours then
    stale[#stale + 1] = n
  end
  latest = math.max(latest, theirs)
end
if #stale > 0 then
  redis.call('HDEL', tokens, 'version')  -- a full server refuses HSET as first write
end
for _, n in ipairs(stale) do
  redis.call('HSET', tokens, ARGV[n], ARGV[n + 1])
end
if #stale > 0 then
  local time = redis.call('TIME')
  local now = math.max(time[1] * 1000000 + time[2], latest + 1)
  redis.call('HSET', tokens, 'version', string.format('%.0f', now))
end
return #stale
