package simnet
