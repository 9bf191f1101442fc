"""network_check.py STACK REGION: the network that a stack has made has what `dtrain cluster` promises. Prints its outputs, NAME=VALUE, or what is wrong.

The nodes' subnet is private: no public addresses, all that leaves goes through a NAT gateway in the public subnet, and what goes to S3 through a gateway
endpoint, which costs nothing. The head node's subnet leads to an internet gateway.
"""
import loopback  # the first of all

import sys

import boto3


class Network:
    def __init__(self, stack, region):
        self.region = region
        self.ec2 = boto3.client("ec2", region_name=region)
        cloudformation = boto3.client("cloudformation", region_name=region)
        self.stack = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
        self.outputs = {output["OutputKey"]: output["OutputValue"] for output in self.stack.get("Outputs", [])}
        resources = cloudformation.describe_stack_resources(StackName=stack)["StackResources"]
        self.ids = {}
        for resource in resources:
            self.ids.setdefault(resource["ResourceType"].rpartition("::")[2], []).append(resource["PhysicalResourceId"])
        self.wrong = []

    def need(self, condition, text):
        if not condition:
            self.wrong.append(text)

    def routes(self, subnet):
        tables = self.ec2.describe_route_tables(Filters=[{"Name": "association.subnet-id", "Values": [subnet]}])["RouteTables"]
        self.need(len(tables) == 1, f"{subnet} has {len(tables)} route tables of its own")
        return tables[0] if tables else {"Routes": [], "RouteTableId": "none"}

    def default_route(self, subnet):
        found = [route for route in self.routes(subnet)["Routes"] if route.get("DestinationCidrBlock") == "0.0.0.0/0"]
        self.need(len(found) == 1, f"{subnet} has {len(found)} default routes")
        return found[0] if found else {}

    def check(self, private, public):
        subnets = {s["SubnetId"]: s for s in self.ec2.describe_subnets(SubnetIds=[private, public])["Subnets"]}
        self.need(not subnets[private]["MapPublicIpOnLaunch"], "nodes get public addresses")
        self.need(subnets[public]["MapPublicIpOnLaunch"], "the head node gets no public address")
        self.need(subnets[private]["AvailabilityZone"] == subnets[public]["AvailabilityZone"], "the subnets are in two zones, so that traffic between them costs")
        self.need(subnets[private]["VpcId"] == subnets[public]["VpcId"], "the subnets are in two networks")
        nat = self.default_route(private).get("NatGatewayId")
        gateways = self.ec2.describe_nat_gateways(NatGatewayIds=[nat])["NatGateways"] if nat else []
        self.need(len(gateways) == 1, "the nodes' subnet does not lead to a NAT gateway")
        self.need(all(gateway["SubnetId"] == public for gateway in gateways), "the NAT gateway is not in the public subnet")
        self.need(str(self.default_route(public).get("GatewayId")).startswith("igw-"), "the public subnet does not lead to an internet gateway")
        self.check_endpoint(self.routes(private)["RouteTableId"])
        vpc = subnets[private]["VpcId"]
        for name in ("enableDnsSupport", "enableDnsHostnames"):
            value = self.ec2.describe_vpc_attribute(VpcId=vpc, Attribute=name)
            self.need(value[name[0].upper() + name[1:]]["Value"], f"{name} is off, which ParallelCluster needs")

    def check_endpoint(self, table):
        endpoints = self.ec2.describe_vpc_endpoints(VpcEndpointIds=self.ids.get("VPCEndpoint", []))["VpcEndpoints"] if self.ids.get("VPCEndpoint") else []
        found = [e for e in endpoints if e["ServiceName"] == f"com.amazonaws.{self.region}.s3"]
        self.need(len(found) == 1, f"there are {len(found)} endpoints of S3")
        for endpoint in found:
            self.need(endpoint["VpcEndpointType"] == "Gateway", "the endpoint of S3 is no gateway, so that it costs")
            self.need(table in endpoint.get("RouteTableIds", []), "the nodes' subnet does not use the endpoint of S3")


def main(stack, region):
    network = Network(stack, region)
    network.need(network.stack["StackStatus"] == "CREATE_COMPLETE", network.stack["StackStatus"])
    network.check(network.outputs["PrivateSubnet"], network.outputs["PublicSubnet"])
    for text in network.wrong:
        print(text)
    for name, value in network.outputs.items():
        print(f"{name}={value}")
    sys.exit(1 if network.wrong else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
