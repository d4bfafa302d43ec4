// Gitopstools tells what Argo CD and Flux make of objects, with the libraries that these tools use themselves.
//
// It reads requests as JSON, one after the other, from standard input, and writes one line of JSON for each: "result", or
// "error" with what the tool would report. A request names what to "do":
//
//   - kstatus: the status of "object" for Flux and `helm --wait`
//   - health, discovery, action: what the Lua "script" returns for "object" in Argo CD
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	luajson "layeh.com/gopher-json"
)

// scriptTimeout is how long Argo CD lets a script run.
const scriptTimeout = time.Second

type request struct {
	Do     string          `json:"do"`
	Script string          `json:"script"`
	Object json.RawMessage `json:"object"`
}

type verdict struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

func main() {
	decoder := json.NewDecoder(os.Stdin)
	encoder := json.NewEncoder(os.Stdout)
	for {
		var asked request
		err := decoder.Decode(&asked)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "gitopstools:", err)
			os.Exit(1)
		}
		answer := map[string]any{}
		if result, err := carryOut(asked); err != nil {
			answer["error"] = err.Error()
		} else {
			answer["result"] = result
		}
		if err := encoder.Encode(answer); err != nil {
			fmt.Fprintln(os.Stderr, "gitopstools:", err)
			os.Exit(1)
		}
	}
}

func carryOut(asked request) (any, error) {
	object := unstructured.Unstructured{}
	// Whole numbers stay whole, as both tools see them.
	if err := object.UnmarshalJSON(asked.Object); err != nil {
		return nil, err
	}
	switch asked.Do {
	case "kstatus":
		found, err := status.Compute(&object)
		if err != nil {
			return nil, err
		}
		return verdict{string(found.Status), found.Message}, nil
	case "health":
		// Argo CD asks no script about an object that is being deleted (gitops-engine, pkg/health).
		if object.GetDeletionTimestamp() != nil {
			return verdict{"Progressing", "Pending deletion"}, nil
		}
		return runScript(asked.Script, object.Object)
	case "discovery":
		return runScript(asked.Script, object.Object)
	case "action":
		changed, err := runScript(asked.Script, object.Object)
		if err != nil {
			return nil, err
		}
		return withMaps(changed, object.Object), nil
	}
	return nil, fmt.Errorf("do is %q: use kstatus, health, discovery or action", asked.Do)
}

// runScript runs a script as Argo CD's util/lua/lua.go does when useOpenLibs is not set: with the libraries package, base
// and table. There is no string library, and `os` only after `require("os")`, with date and time alone.
func runScript(script string, object map[string]any) (any, error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	libraries := []struct {
		name string
		open lua.LGFunction
	}{
		{lua.LoadLibName, lua.OpenPackage},
		{lua.BaseLibName, lua.OpenBase},
		{lua.TabLibName, lua.OpenTable},
	}
	for _, library := range libraries {
		call := lua.P{Fn: state.NewFunction(library.open), NRet: 0, Protect: true}
		if err := state.CallByParam(call, lua.LString(library.name)); err != nil {
			return nil, err
		}
	}
	state.PreloadModule(lua.OsLibName, loadSafeOs)
	ctx, cancel := context.WithTimeout(context.Background(), scriptTimeout)
	defer cancel()
	state.SetContext(ctx)
	state.SetGlobal("actionParams", state.NewTable())
	state.SetGlobal("obj", toLua(state, object))
	if err := state.DoString(script); err != nil {
		return nil, err
	}
	returned := state.Get(-1)
	if returned.Type() != lua.LTTable {
		return nil, fmt.Errorf("expect table output from Lua script, not %s", returned.Type())
	}
	encoded, err := luajson.Encode(returned)
	if err != nil {
		return nil, err
	}
	var result any
	err = json.Unmarshal(encoded, &result)
	return result, err
}

// loadSafeOs is the loader of `require("os")`: date and time of the real library, and nothing that touches the machine.
func loadSafeOs(state *lua.LState) int {
	other := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer other.Close()
	other.Push(other.NewFunction(lua.OpenOs))
	other.Call(0, 1)
	whole := other.CheckTable(-1)
	safe := state.NewTable()
	for _, name := range []string{"date", "time"} {
		if function, ok := whole.RawGetString(name).(*lua.LFunction); ok {
			safe.RawSetString(name, state.NewFunction(function.GFunction))
		}
	}
	state.Push(safe)
	return 1
}

// toLua converts a value of JSON.
func toLua(state *lua.LState, value any) lua.LValue {
	switch value := value.(type) {
	case bool:
		return lua.LBool(value)
	case string:
		return lua.LString(value)
	case int64:
		return lua.LNumber(value)
	case float64:
		return lua.LNumber(value)
	case []any:
		table := state.CreateTable(len(value), 0)
		for _, item := range value {
			table.Append(toLua(state, item))
		}
		return table
	case map[string]any:
		table := state.CreateTable(0, len(value))
		for key, item := range value {
			table.RawSetString(key, toLua(state, item))
		}
		return table
	}
	return lua.LNil
}

// withMaps is what an action returned, with the empty maps of the object as maps: Lua does not tell them from empty lists,
// and Argo CD corrects this too.
func withMaps(changed, before any) any {
	switch before := before.(type) {
	case map[string]any:
		if list, ok := changed.([]any); ok && len(list) == 0 {
			return map[string]any{}
		}
		if after, ok := changed.(map[string]any); ok {
			for key, value := range before {
				if _, there := after[key]; there {
					after[key] = withMaps(after[key], value)
				}
			}
		}
	case []any:
		if after, ok := changed.([]any); ok {
			for index := range min(len(after), len(before)) {
				after[index] = withMaps(after[index], before[index])
			}
		}
	}
	return changed
}
