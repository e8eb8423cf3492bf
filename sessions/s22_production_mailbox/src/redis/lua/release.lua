-- The reader leaves of its own will: what it has goes to the next, and does not count as a death.
-- KEYS: reader, box, channel. ARGV: me, name.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
for _, pending in ipairs(redis.call('XPENDING', KEYS[2], 'readers', '-', '+', 100000, ARGV[1])) do
  redis.call('XCLAIM', KEYS[2], 'readers', ARGV[1], '0', pending[1], 'RETRYCOUNT', 0, 'JUSTID')
end
redis.call('PUBLISH', KEYS[3], ARGV[2])
return 1
