"""moto_network.py: what moto leaves out of a template's networks, for moto_server.py: a subnet's MapPublicIpOnLaunch, AvailabilityZoneId and
!GetAtt AvailabilityZone, its route table, a network's DNS settings, and the outputs of a stack that `aws cloudformation deploy` makes, which is a change set."""
from moto.cloudformation.models import ChangeSet
from moto.cloudformation.parsing import OutputMap
from moto.ec2.models import ec2_backends
from moto.ec2.models.availability_zones_and_regions import RegionsAndZonesBackend
from moto.ec2.models.subnets import Subnet, SubnetBackend
from moto.ec2.models.vpcs import VPC


def zone_name(region, zone_id):
    return next(zone.name for zone in RegionsAndZonesBackend.zones[region] if zone.zone_id == zone_id)


def make_subnet(cls, resource_name, cloudformation_json, account_id, region_name, **more):
    properties = cloudformation_json["Properties"]
    if "AvailabilityZoneId" in properties:
        properties["AvailabilityZone"] = zone_name(region_name, properties["AvailabilityZoneId"])
    subnet = make_subnet.moto(resource_name, cloudformation_json, account_id, region_name, **more)
    is_public = str(properties.get("MapPublicIpOnLaunch", "false")).lower()
    ec2_backends[account_id][region_name].modify_subnet_attribute(subnet.id, "map_public_ip_on_launch", is_public)
    return subnet


def make_vpc(cls, resource_name, cloudformation_json, account_id, region_name, **more):
    vpc = make_vpc.moto(resource_name, cloudformation_json, account_id, region_name, **more)
    properties = cloudformation_json["Properties"]
    vpc.enable_dns_support = properties.get("EnableDnsSupport", True)
    vpc.enable_dns_hostnames = properties.get("EnableDnsHostnames", False)
    return vpc


def attribute_of_subnet(subnet, name):
    return subnet.availability_zone if name == "AvailabilityZone" else attribute_of_subnet.moto(subnet, name)


def associate(backend, route_table_id, subnet_id):
    backend.associate_route_table(route_table_id=route_table_id, subnet_id=subnet_id)
    return associate.moto(backend, route_table_id, subnet_id)


def apply_change_set(change_set):
    apply_change_set.moto(change_set)
    stack = change_set.stack
    stack.output_map = OutputMap(stack.resource_map, change_set.template_dict, stack.stack_id)


def complete():
    make_subnet.moto, make_vpc.moto = Subnet.create_from_cloudformation_json, VPC.create_from_cloudformation_json
    attribute_of_subnet.moto = Subnet.get_cfn_attribute
    Subnet.create_from_cloudformation_json, VPC.create_from_cloudformation_json = classmethod(make_subnet), classmethod(make_vpc)
    Subnet.get_cfn_attribute = attribute_of_subnet
    apply_change_set.moto, ChangeSet.apply = ChangeSet.apply, apply_change_set
    associate.moto, SubnetBackend.create_subnet_association = SubnetBackend.create_subnet_association, associate
