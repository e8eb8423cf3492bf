-- Puts one mail into a box, once. KEYS: names, box, seen, channel. ARGV: to, mail, capacity, memory in s.
if redis.call('SISMEMBER', KEYS[1], ARGV[1]) == 0 then return 'unknown' end
if redis.call('EXISTS', KEYS[3]) == 1 then return 'again' end -- it was sent before: its answer got lost
if redis.call('XLEN', KEYS[2]) >= tonumber(ARGV[3]) then return 'full' end
redis.call('XADD', KEYS[2], '*', 'mail', ARGV[2])
redis.call('SET', KEYS[3], '', 'EX', ARGV[4])
redis.call('PUBLISH', KEYS[4], ARGV[1])
return 'sent'
