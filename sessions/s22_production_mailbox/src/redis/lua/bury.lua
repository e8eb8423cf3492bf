-- Moves one mail to the dead letters. Twice does no harm. KEYS: box, dead. ARGV: id, why.
local entry = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])[1]
if not entry then return 0 end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', '1000', '*', 'mail', entry[2][2], 'why', ARGV[2])
redis.call('XACK', KEYS[1], 'readers', ARGV[1])
return redis.call('XDEL', KEYS[1], ARGV[1])
