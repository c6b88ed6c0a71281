-- lend: a contributor's worker is about to be shown an image whose caption is known.
--
-- KEYS  1 probes:CONSUMER  2 shown:CONTRIBUTOR
-- ARGV  1 entry  2 what is known of it (JSON)  3 name of the image  4 lease, ms
--
-- True after it: the image has been shown to the contributor, and if that is the first time, it is
-- in hand for a lease. Answers 1 if it is.
local probes, shown = KEYS[1], KEYS[2]

if redis.call('SADD', shown, ARGV[3]) == 0 then
  return 0
end
redis.call('HSET', probes, ARGV[1], ARGV[2])
redis.call('PEXPIRE', probes, ARGV[4])
return 1
