-- The reader still lives. KEYS: reader. ARGV: me, lease in ms. Returns who has the lease.
local holder = redis.call('GET', KEYS[1])
if holder == ARGV[1] then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return holder or ''
