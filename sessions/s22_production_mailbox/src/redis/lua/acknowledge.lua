-- Acknowledged mail is deleted, so a box holds what is not done and nothing else. MAXLEN counts, and would
-- drop what nobody has read. KEYS: box. ARGV: ids.
for _, id in ipairs(ARGV) do
  redis.call('XACK', KEYS[1], 'readers', id)
  redis.call('XDEL', KEYS[1], id)
end
return #ARGV
