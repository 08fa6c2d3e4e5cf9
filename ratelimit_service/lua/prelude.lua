local floor, ceil, min, max = math.floor, math.ceil, math.min, math.max
local format, sub = string.format, string.sub
local pack, unpack_struct = struct.pack, struct.unpack
local now
