-- Gives mail of one box to the one reader that has its lease.
-- KEYS: names, reader, box, dead.
-- ARGV: name, me, lease in ms, after, tries, most bytes.
-- `after` is '' for new mail, '-' to begin with what is given out already, else the last id of that.
-- Returns: how it is, the holder or the next `after`, the mail as [id, text], the texts that were buried.
local name, me, after = ARGV[1], ARGV[2], ARGV[4]
local names, reader, box, dead = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
if redis.call('SISMEMBER', names, name) == 0 then return {'unknown', '', {}, {}} end
local holder = redis.call('GET', reader)
if holder and holder ~= me then return {'held', holder, {}, {}} end
-- The lease ran out: others may have read meanwhile, so the caller has to begin again.
if not holder and after == '' then return {'expired', '', {}, {}} end
redis.call('SET', reader, me, 'PX', ARGV[3])

local found, buried, bytes = {}, {}, 0
local function give(entry)
  local text = entry[2][2]
  found[#found + 1] = {entry[1], text}
  bytes = bytes + #text
end
local function full()
  return #found >= 256 or bytes >= tonumber(ARGV[6])
end

if after == '' then
  while not full() do
    local read = redis.call('XREADGROUP', 'GROUP', 'readers', me, 'COUNT', 1, 'STREAMS', box, '>')
    if not read then break end
    give(read[1][2][1])
  end
  return {'taken', '', found, buried}
end

if after == '-' then
  redis.pcall('XGROUP', 'CREATE', box, 'readers', '0', 'MKSTREAM') -- an error: there is one
  for _, pending in ipairs(redis.call('XPENDING', box, 'readers', '-', '+', 100000)) do
    local id, owner, tries = pending[1], pending[2], pending[4]
    local entry = redis.call('XRANGE', box, id, id)[1]
    if not entry then
      redis.call('XACK', box, 'readers', id)
    elseif owner ~= me and tries >= tonumber(ARGV[5]) then
      local why = 'it was given out ' .. tries .. ' times, and each time its reader died'
      redis.call('XADD', dead, 'MAXLEN', '~', '1000', '*', 'mail', entry[2][2], 'why', why)
      redis.call('XACK', box, 'readers', id)
      redis.call('XDEL', box, id)
      buried[#buried + 1] = entry[2][2]
    elseif owner ~= me then
      redis.call('XCLAIM', box, 'readers', me, '0', id, 'RETRYCOUNT', tries + 1, 'JUSTID')
    end
  end
  for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', box, 'readers')) do
    if consumer[2] ~= me then redis.call('XGROUP', 'DELCONSUMER', box, 'readers', consumer[2]) end
  end
end
local last, from = '', after == '-' and '-' or '(' .. after
for _, pending in ipairs(redis.call('XPENDING', box, 'readers', from, '+', 256, me)) do
  local entry = redis.call('XRANGE', box, pending[1], pending[1])[1]
  if entry then give(entry) end
  last = pending[1]
  if full() then break end
end
return {'taken', last, found, buried}
