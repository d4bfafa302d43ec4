// Localcluster is a Kubernetes control plane in one program: etcd, kube-apiserver, kube-controller-manager and
// kubectl, with helm beside them, each being what runs when the program is called by that name through a symlink.
//
// One program and not five: they share most of their packages, so it builds in half the time and a quarter of the
// space, and nothing but the Go module proxy is needed to get it. Each main below is what the upstream command of that
// name has in its own main package, and nothing else.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	_ "time/tzdata" // validation of time zones must not depend on the machine

	"go.etcd.io/etcd/server/v3/etcdmain"
	helm "helm.sh/helm/v4/pkg/cmd"
	helmkube "helm.sh/helm/v4/pkg/kube"
	_ "k8s.io/client-go/plugin/pkg/client/auth" // the login plugins of a real kubectl
	"k8s.io/component-base/cli"
	"k8s.io/component-base/logs"
	_ "k8s.io/component-base/logs/json/register"          // --logging-format=json
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // metrics of the clients in the components
	_ "k8s.io/component-base/metrics/prometheus/version"  // kubernetes_build_info
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
)

// commands holds, by the name the program is called by, what to run; the result is the exit code.
var commands = map[string]func() int{
	"etcd": func() int {
		etcdmain.Main(os.Args) // leaves the process itself when it fails
		return 0
	},
	"kube-apiserver":          func() int { return cli.Run(apiserver.NewAPIServerCommand()) },
	"kube-controller-manager": func() int { return cli.Run(controllermanager.NewControllerManagerCommand()) },
	"kubectl":                 runKubectl,
	"helm":                    runHelm,
}

// runKubectl sets the log level before the command is made, because plugins and the preferences file are handled while
// it is being made.
func runKubectl() int {
	_, _ = logs.GlogSetter(kubectl.GetLogVerbosity(os.Args))
	if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
		kubectlutil.CheckErr(err) // prints the error as kubectl does and exits
		return 1
	}
	return 0
}

// runHelm ends with the code that a plugin or a command asks for.
func runHelm() int {
	helmkube.ManagedFieldsManager = "helm"
	command, err := helm.NewRootCmd(os.Stdout, os.Args[1:], helm.SetupLogging)
	if err == nil {
		err = command.Execute() // prints the error itself
	}
	if err == nil {
		return 0
	}
	var coded helm.CommandError
	if errors.As(err, &coded) {
		return coded.ExitCode
	}
	return 1
}

func main() {
	name := filepath.Base(os.Args[0])
	run, known := commands[name]
	if !known {
		names := make([]string, 0, len(commands))
		for known := range commands {
			names = append(names, known)
		}
		slices.Sort(names)
		fmt.Fprintf(os.Stderr, "called as %q: call it through a symlink named %s\n", name, strings.Join(names, ", "))
		os.Exit(2)
	}
	os.Exit(run())
}
