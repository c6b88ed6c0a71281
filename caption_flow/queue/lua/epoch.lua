-- epoch: a name for what this server remembers of the job.
--
-- KEYS  1 epoch
-- ARGV  1 a new word, should there be none
--
-- True after it: the name stays as long as the server is not started anew, replaced by another, or
-- emptied, and no part is recorded again, see `record`; whoever reads another name cannot rely on
-- what it was told before. Answers the name.
-- Who answers: another after a restart (run_id), and after a fail-over and back (master_replid).
local function server()
  local told = redis.pcall('INFO', 'server', 'replication')
  if type(told) ~= 'string' then
    return ''
  end
  local run, data = string.match(told, 'run_id:(%w+)'), string.match(told, 'master_replid:(%w+)')
  return (run or '') .. ' ' .. (data or '')
end

local word = redis.call('GET', KEYS[1])
if not word then
  redis.call('DEL', KEYS[1])  -- a full server refuses SET, but not after another write
  redis.call('SET', KEYS[1], ARGV[1])
  word = ARGV[1]
end
return server() .. ' ' .. word
