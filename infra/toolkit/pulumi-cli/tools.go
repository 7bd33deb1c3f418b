//go:build tools

// Package tools names the Pulumi CLI as a dependency: go.mod and go.sum then pin everything it is built from.
package tools

import _ "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
