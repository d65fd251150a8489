// Makes, reads and lists a transform with the AWS SDK for Go v2, which finds the endpoint, the region and the key in the
// environment. The one argument is the transform's name; what came back is printed as one JSON object.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/glue"
	"github.com/aws/aws-sdk-go-v2/service/glue/types"
)

func main() {
	told, err := run(context.Background(), os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	json.NewEncoder(os.Stdout).Encode(told)
}

func run(ctx context.Context, name string) (map[string]any, error) {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, err
	}
	client := glue.NewFromConfig(cfg)
	asked := &glue.CreateMLTransformInput{
		Name:              aws.String(name),
		Role:              aws.String("arn:aws:iam::123456789012:role/glue"),
		InputRecordTables: []types.GlueTable{{DatabaseName: aws.String("crm"), TableName: aws.String("people")}},
		Parameters: &types.TransformParameters{
			TransformType: types.TransformTypeFindMatches,
			FindMatchesParameters: &types.FindMatchesParameters{
				PrimaryKeyColumnName:    aws.String("id"),
				PrecisionRecallTradeoff: aws.Float64(1),
				AccuracyCostTradeoff:    aws.Float64(0.25),
				EnforceProvidedLabels:   aws.Bool(false),
			},
		},
		GlueVersion: aws.String("2.0"),
		MaxCapacity: aws.Float64(10),
		Tags:        map[string]string{"sdk": name},
	}
	created, err := client.CreateMLTransform(ctx, asked)
	if err != nil {
		return nil, err
	}
	_, again := client.CreateMLTransform(ctx, asked)
	var refused *types.AlreadyExistsException
	got, err := client.GetMLTransform(ctx, &glue.GetMLTransformInput{TransformId: created.TransformId})
	if err != nil {
		return nil, err
	}
	listed, err := client.ListMLTransforms(ctx, &glue.ListMLTransformsInput{Tags: map[string]string{"sdk": name}})
	if err != nil {
		return nil, err
	}
	matching := got.Parameters.FindMatchesParameters
	return map[string]any{
		"id":                      *created.TransformId,
		"name":                    *got.Name,
		"status":                  got.Status,
		"createdOn":               got.CreatedOn.Unix(),
		"maxCapacity":             *got.MaxCapacity,
		"precisionRecallTradeoff": *matching.PrecisionRecallTradeoff,
		"accuracyCostTradeoff":    *matching.AccuracyCostTradeoff,
		"columns":                 len(got.Schema),
		"listed":                  listed.TransformIds,
		"secondRefused":           errors.As(again, &refused),
	}, nil
}
