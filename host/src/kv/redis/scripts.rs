//! What is done in one step in Redis. A step is about one space, whose keys are all at one place.
//!
//! Every script knows the name of the key under which things are sealed: what another key has written is never touched.

use crate::redis::Script;

/// Ours at this place, and the time in milliseconds. `KEYS[2]` is the name of the key at this place, `ARGV[2]` ours.
const HEAD: &str = "
local key = redis.call('GET', KEYS[2])
if key and key ~= ARGV[2] then return {primary, 'other'} end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
";

/// `KEYS`: …, space, entries, ends. `ARGV`: …, `H` for heads or `W` for whole entries, the most bytes, the most expired
/// entries, names. Returns the time, the space, the number of expired entries, for each its name and head, and what is
/// under each name. What has expired has no value.
const LOOK: &str = "
local gone, most = {}, tonumber(ARGV[4])
if ARGV[5] ~= '0' then gone = redis.call('ZRANGEBYSCORE', KEYS[5], '-inf', now, 'LIMIT', 0, ARGV[5]) end
local out = {primary, 'seen', string.format('%.0f', now), redis.call('GET', KEYS[3]) or '', tostring(#gone)}
for _, name in ipairs(gone) do
  out[#out + 1] = name
  out[#out + 1] = string.sub(redis.call('HGET', KEYS[4], name) or '', 1, 32)
end
for at = 6, #ARGV do
  local row = redis.call('HGET', KEYS[4], ARGV[at]) or ''
  if ARGV[3] == 'H' or (#row >= 32 and struct.unpack('<i8', row, 25) <= now) then row = string.sub(row, 1, 32) end
  most = most - #row
  if most < 0 then return {primary, 'large'} end
  out[#out + 1] = row
end
return out
";

/// Notes when the first entry of a space expires, for sweeps. `ends`, `due` and `name` are set before.
const NOTE_DUE: &str = "
local first = redis.call('ZRANGE', ends, 0, 0, 'WITHSCORES')
if first[2] then redis.call('ZADD', due, first[2], name) else redis.call('ZREM', due, name) end
";

/// `KEYS`: …, the mark of this commit, space, entries, names, turns, ends, due, all. `ARGV`: …, the life of the mark, the
/// version that was read, the space as it is then, its name; then for each change `P`, name, turn, end or nothing, entry;
/// or `R`, name.
///
/// A mark that is there was made by the same commit: its answer was lost, and it is sent again.
const COMMIT: &str = "
if redis.call('EXISTS', KEYS[3]) == 1 then return {primary, 'done'} end
if string.sub(redis.call('GET', KEYS[4]) or '', 1, 8) ~= ARGV[4] then return {primary, 'conflict'} end
local at = 7
while at <= #ARGV do
  local name = ARGV[at + 1]
  if ARGV[at] == 'P' then
    redis.call('HSET', KEYS[5], name, ARGV[at + 4])
    redis.call('ZADD', KEYS[6], 0, name)
    redis.call('ZADD', KEYS[7], ARGV[at + 2], name)
    if ARGV[at + 3] == '' then
      redis.call('ZREM', KEYS[8], name)
    else
      redis.call('ZADD', KEYS[8], ARGV[at + 3], name)
    end
    at = at + 5
  else
    redis.call('HDEL', KEYS[5], name)
    for set = 6, 8 do redis.call('ZREM', KEYS[set], name) end
    at = at + 2
  end
end
if not key then redis.call('SET', KEYS[2], ARGV[2]) end
redis.call('SET', KEYS[4], ARGV[5])
redis.call('ZADD', KEYS[10], 0, ARGV[6])
redis.call('SET', KEYS[3], '', 'PX', ARGV[3])
local ends, due, name = KEYS[8], KEYS[9], ARGV[6]
";

/// `KEYS`: …, space, names, ends. `ARGV`: …, the beginning and the end, the most names, the most to go through. Returns
/// the space, the last name that was gone through if there may be more, and names of entries that are alive.
const NAMES: &str = "
local found = redis.call('ZRANGEBYLEX', KEYS[4], ARGV[3], ARGV[4], 'LIMIT', 0, ARGV[6])
local out, most = {primary, 'seen', redis.call('GET', KEYS[3]) or '', '0', ''}, tonumber(ARGV[5])
for _, name in ipairs(found) do
  local ends = redis.call('ZSCORE', KEYS[5], name)
  if not ends or tonumber(ends) > now then
    out[#out + 1] = name
    if #out - 5 == most then return out end
  end
end
if #found == tonumber(ARGV[6]) then out[4], out[5] = '1', found[#found] end
return out
";

/// The same in the order in which they were made. `KEYS`: …, space, turns, ends. `ARGV`: …, the turn to begin after, the
/// most names, the most to go through. Behind each name is its turn.
const TURNS: &str = "
local found = redis.call('ZRANGEBYSCORE', KEYS[4], '(' .. ARGV[3], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[5])
local out, most = {primary, 'seen', redis.call('GET', KEYS[3]) or '', '0', ''}, tonumber(ARGV[4])
for at = 1, #found, 2 do
  local ends = redis.call('ZSCORE', KEYS[5], found[at])
  if not ends or tonumber(ends) > now then
    out[#out + 1] = found[at]
    out[#out + 1] = found[at + 1]
    if #out - 5 == 2 * most then return out end
  end
end
if #found == 2 * tonumber(ARGV[5]) then out[4], out[5] = '1', found[#found] end
return out
";

/// `KEYS`: …, due. `ARGV`: …, the most. Returns the names of spaces in which something has expired.
const DUE: &str = "
local out = {primary, 'seen'}
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now, 'LIMIT', 0, ARGV[3])) do out[#out + 1] = name end
return out
";

/// `KEYS`: …, all. `ARGV`: …, the beginning of the spaces' keys, that of the entries' keys, the name to begin after, the
/// most. Returns for each space its name, itself and the number of its entries.
const SPACES: &str = "
local out = {primary, 'seen'}
for _, name in ipairs(redis.call('ZRANGEBYLEX', KEYS[3], ARGV[5], '+', 'LIMIT', 0, ARGV[6])) do
  out[#out + 1] = name
  out[#out + 1] = redis.call('GET', ARGV[3] .. name) or ''
  out[#out + 1] = tostring(redis.call('HLEN', ARGV[4] .. name))
end
return out
";

/// `KEYS`: …, the mark of this step, space, entries, names, turns, ends, due, all. `ARGV`: …, the life of the mark, the
/// name. Returns the number of entries that are gone, also to one that asks again.
const CLEAR: &str = "
local done = redis.call('GET', KEYS[3])
if done then return {primary, 'done', done} end
local count = tostring(redis.call('HLEN', KEYS[5]))
for at = 4, 8 do redis.call('UNLINK', KEYS[at]) end
redis.call('ZREM', KEYS[9], ARGV[4])
redis.call('ZREM', KEYS[10], ARGV[4])
redis.call('SET', KEYS[3], count, 'PX', ARGV[3])
return {primary, 'done', count}
";

/// `KEYS`: …, space. `ARGV`: …, the version that it has, the one that it gets.
const TURN_VERSION: &str = "
local version = string.sub(redis.call('GET', KEYS[3]) or '', 1, 8)
if version == ARGV[4] then return {primary, 'done'} end
if version ~= ARGV[3] then return {primary, 'conflict'} end
redis.call('SETRANGE', KEYS[3], 0, ARGV[4])
return {primary, 'done'}
";

/// `KEYS`: …, entries, turns. `ARGV`: …, the turn to begin after, the most entries, the most bytes. Returns for each its
/// turn, its name and itself, one at least if there is one.
const READ_PART: &str = "
local found = redis.call('ZRANGEBYSCORE', KEYS[4], '(' .. ARGV[3], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[4])
local out, most = {primary, 'seen'}, tonumber(ARGV[5])
for at = 1, #found, 2 do
  local row = redis.call('HGET', KEYS[3], found[at]) or ''
  most = most - #row
  if most < 0 and #out > 2 then return out end
  out[#out + 1] = found[at + 1]
  out[#out + 1] = found[at]
  out[#out + 1] = row
end
return out
";

/// `KEYS`: …, entries, names, turns, ends of a copy that is being made. `ARGV`: …, its life unless it is finished; then
/// for each entry its name, turn, end or nothing, and itself.
const WRITE_PART: &str = "
for at = 4, #ARGV, 4 do
  local name = ARGV[at]
  redis.call('HSET', KEYS[3], name, ARGV[at + 3])
  redis.call('ZADD', KEYS[4], 0, name)
  redis.call('ZADD', KEYS[5], ARGV[at + 1], name)
  if ARGV[at + 2] ~= '' then redis.call('ZADD', KEYS[6], ARGV[at + 2], name) end
end
for at = 3, 6 do redis.call('PEXPIRE', KEYS[at], ARGV[3]) end
return {primary, 'done'}
";

/// `KEYS`: …, space, entries, names, turns, ends, then the last four of the copy, due, all. `ARGV`: …, the space, its name,
/// the number of its entries. Puts a copy in the place of a space without entries.
const INSTALL: &str = "
if redis.call('GET', KEYS[3]) == ARGV[3] then return {primary, 'done'} end
if redis.call('HLEN', KEYS[4]) > 0 then return {primary, 'conflict'} end
if redis.call('HLEN', KEYS[8]) ~= tonumber(ARGV[5]) then return {primary, 'gone'} end
for at = 4, 7 do
  redis.call('UNLINK', KEYS[at])
  if redis.call('EXISTS', KEYS[at + 4]) == 1 then
    redis.call('PERSIST', KEYS[at + 4])
    redis.call('RENAME', KEYS[at + 4], KEYS[at])
  end
end
if not key then redis.call('SET', KEYS[2], ARGV[2]) end
redis.call('SET', KEYS[3], ARGV[3])
redis.call('ZADD', KEYS[13], 0, ARGV[4])
local ends, due, name = KEYS[7], KEYS[12], ARGV[4]
";

const DONE: &str = "return {primary, 'done'}\n";

/// `KEYS`: mark, key. `ARGV`: mark, value. Sets a key that is not there, and returns what it has then.
const MAKE: &str = "
redis.call('SET', KEYS[2], ARGV[2], 'NX')
return {primary, redis.call('GET', KEYS[2])}
";

/// `KEYS`: mark, key. `ARGV`: mark, the value that it has, the one that it gets.
const REPLACE: &str = "
if redis.call('GET', KEYS[2]) == ARGV[2] then redis.call('SET', KEYS[2], ARGV[3]) end
return {primary}
";

/// `KEYS`: mark, key.
const REMOVE: &str = "
redis.call('DEL', KEYS[2])
return {primary}
";

/// The scripts.
pub(super) struct Scripts {
    pub(super) look: Script,
    pub(super) commit: Script,
    /// The same for what only removes, which is possible even where memory is full.
    pub(super) remove: Script,
    pub(super) names: Script,
    pub(super) turns: Script,
    pub(super) due: Script,
    pub(super) spaces: Script,
    pub(super) clear: Script,
    pub(super) turn_version: Script,
    pub(super) read_part: Script,
    pub(super) write_part: Script,
    pub(super) install: Script,
    pub(super) make_key: Script,
    pub(super) replace_key: Script,
    pub(super) remove_key: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        let reading = |body: &str| Script::reading(&[HEAD, body].concat());
        let writing = |body: &str| Script::writing(&[HEAD, body].concat());
        let commit = [COMMIT, NOTE_DUE, DONE].concat();
        Self {
            look: reading(LOOK),
            commit: writing(&commit),
            remove: reading(&commit),
            names: reading(NAMES),
            turns: reading(TURNS),
            due: reading(DUE),
            spaces: reading(SPACES),
            clear: reading(CLEAR),
            turn_version: reading(TURN_VERSION),
            read_part: reading(READ_PART),
            write_part: writing(WRITE_PART),
            install: writing(&[INSTALL, NOTE_DUE, DONE].concat()),
            make_key: Script::writing(MAKE),
            replace_key: Script::writing(REPLACE),
            remove_key: Script::reading(REMOVE),
        }
    }
}
