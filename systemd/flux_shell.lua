-- For Flux's shell (one of /etc/flux/shell/lua.d), which runs as the job's user: has the programs of a traced job mark
-- themselves where the job has no control group of its own, that is where Flux does not start shells as units.

local notes = "@PREFIX@run/datacrumbs/jobs/flux-"

local function is_within (group)
    local within = false
    for line in io.lines ("/proc/self/cgroup") do
        local path = line:match ("^0::(.*)$")
        within = within or (path and (path .. "/"):find ("/" .. group .. "/", 1, true))
    end
    return within
end

local function mark ()
    -- The id as names of units have it: the usual form begins with a letter of two bytes (U+0192).
    local id = (shell.getenv ("FLUX_JOB_ID") or ""):gsub ("^\198\146", "f")
    local file = io.open (notes .. id .. ".task")
    if not file then return end
    local library
    for line in file:lines () do
        local kind, text = line:match ("^(%S+) (.*)$")
        if kind == "preload" then library = text end
        if kind == "group" and is_within (text) then return file:close () end
    end
    file:close ()
    if not library then return end
    local before = shell.getenv ("LD_PRELOAD") or ""
    shell.setenv ("LD_PRELOAD", before == "" and library or library .. ":" .. before)
    -- Jobs of a Flux within this job have ids of their own.
    shell.setenv ("DATACRUMBS_RUN_ID", id, false)
end

plugin.register { name = "datacrumbs", handlers = { { topic = "shell.init", fn = mark } } }
